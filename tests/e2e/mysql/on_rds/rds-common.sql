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
