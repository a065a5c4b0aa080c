CREATE PROCEDURE mysql.rds_set_external_master_gtid(IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN gtid TEXT,
  IN ssl_encryption TINYINT) SQL SECURITY DEFINER
BEGIN
  SET GLOBAL gtid_slave_pos = gtid;
  EXECUTE IMMEDIATE CONCAT('CHANGE MASTER TO MASTER_HOST=', QUOTE(host), ', MASTER_PORT=', port, ', MASTER_USER=', QUOTE(user),
    ', MASTER_PASSWORD=', QUOTE(passwd), ', MASTER_SSL=', ssl_encryption, ', MASTER_USE_GTID=slave_pos');
END
//
CREATE PROCEDURE mysql.rds_start_replication() SQL SECURITY DEFINER
BEGIN
  EXECUTE IMMEDIATE 'START SLAVE';
  SELECT 'Slave running normally.' AS Message;
END
//
CREATE PROCEDURE mysql.rds_stop_replication() SQL SECURITY DEFINER
BEGIN
  EXECUTE IMMEDIATE 'STOP SLAVE';
  SELECT 'Slave is down or disabled' AS Message;
END
//
CREATE PROCEDURE mysql.rds_reset_external_master() SQL SECURITY DEFINER
BEGIN
  EXECUTE IMMEDIATE 'STOP SLAVE';
  EXECUTE IMMEDIATE 'RESET SLAVE ALL';
  SELECT 'Slave has been reset' AS Message;
END
//
CREATE PROCEDURE mysql.rds_kill(IN id BIGINT) SQL SECURITY DEFINER
BEGIN
  KILL CONNECTION id;
END
//
CREATE TABLE mysql.rds_configuration (name VARCHAR(100) PRIMARY KEY, value VARCHAR(100), description VARCHAR(300))
//
INSERT INTO mysql.rds_configuration VALUES ('binlog retention hours', NULL, 'how long the binary log is kept')
//
CREATE PROCEDURE mysql.rds_set_configuration(IN name VARCHAR(30), IN value INT) SQL SECURITY DEFINER
BEGIN
  IF name <> 'binlog retention hours' OR value < 1 OR value > 168 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'For binlog retention hours the value must be between 1 and 168 inclusive or be NULL';
  END IF;
  SET SESSION sql_log_bin = 0;
  UPDATE mysql.rds_configuration AS kept SET kept.value = value WHERE kept.name = name;
  SET SESSION sql_log_bin = 1;
END
//
CREATE USER admin@'%' IDENTIFIED BY 'adm'
//
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES,
  LOCK TABLES, EXECUTE, REPLICATION SLAVE, BINLOG MONITOR, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER,
  EVENT, TRIGGER, DELETE HISTORY, SLAVE MONITOR ON *.* TO admin@'%' WITH GRANT OPTION
