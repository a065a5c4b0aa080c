CREATE PROCEDURE mysql.rds__exec(IN q TEXT) SQL SECURITY INVOKER
BEGIN
  SET @rds_q = q;
  PREPARE rds_s FROM @rds_q;
  EXECUTE rds_s;
  DEALLOCATE PREPARE rds_s;
  SET @rds_q = NULL;
END
//
CREATE PROCEDURE mysql.rds_set_external_source_with_auto_position(IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT,
  IN ssl_encryption TINYINT, IN delay INT) SQL SECURITY DEFINER
BEGIN
  CALL mysql.rds__exec(CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_HOST=', QUOTE(host), ', SOURCE_PORT=', port, ', SOURCE_USER=',
    QUOTE(user), ', SOURCE_PASSWORD=', QUOTE(passwd), ', SOURCE_SSL=', ssl_encryption, ', SOURCE_DELAY=', delay,
    ', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1'));
END
//
CREATE PROCEDURE mysql.rds_set_external_source(IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN file TEXT,
  IN pos BIGINT UNSIGNED, IN ssl_encryption TINYINT) SQL SECURITY DEFINER
BEGIN
  CALL mysql.rds__exec(CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_HOST=', QUOTE(host), ', SOURCE_PORT=', port, ', SOURCE_USER=',
    QUOTE(user), ', SOURCE_PASSWORD=', QUOTE(passwd), ', SOURCE_SSL=', ssl_encryption, ', SOURCE_LOG_FILE=', QUOTE(file),
    ', SOURCE_LOG_POS=', pos, ', SOURCE_AUTO_POSITION=0, GET_SOURCE_PUBLIC_KEY=1'));
END
//
CREATE PROCEDURE mysql.rds_set_external_source_gtid_purged(IN server VARCHAR(64), IN from_number BIGINT, IN to_number BIGINT)
  SQL SECURITY DEFINER
BEGIN
  CALL mysql.rds__exec(CONCAT('SET GLOBAL gtid_purged = ', QUOTE(CONCAT('+', server, ':', from_number, '-', to_number))));
END
//
CREATE PROCEDURE mysql.rds_start_replication() SQL SECURITY DEFINER
BEGIN
  CALL mysql.rds__exec('START REPLICA');
  SELECT 'Replica running normally.' AS Message;
END
//
CREATE PROCEDURE mysql.rds_stop_replication() SQL SECURITY DEFINER
BEGIN
  CALL mysql.rds__exec('STOP REPLICA');
  SELECT 'Replica is down or disabled' AS Message;
END
//
CREATE PROCEDURE mysql.rds_reset_external_source() SQL SECURITY DEFINER
BEGIN
  CALL mysql.rds__exec('STOP REPLICA');
  CALL mysql.rds__exec('RESET REPLICA ALL');
  SELECT 'Slave has been reset' AS Message;
END
//
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES,
  LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER,
  EVENT, TRIGGER, CREATE ROLE, DROP ROLE ON *.* TO admin@'%' WITH GRANT OPTION
//
GRANT XA_RECOVER_ADMIN, ROLE_ADMIN, APPLICATION_PASSWORD_ADMIN, SET_ANY_DEFINER ON *.* TO admin@'%' WITH GRANT OPTION
