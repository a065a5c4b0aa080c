CREATE DATABASE zoo CHARACTER SET utf8mb4;
USE zoo;
CREATE TABLE digits (i int PRIMARY KEY);
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE types (
  id int PRIMARY KEY, f float, d double, n decimal(30, 10), u bigint unsigned, b bit(10), y year, dt datetime(6),
  ts timestamp(6) NULL, da date, ti time(3), c char(6), v varchar(20) COLLATE utf8mb4_general_ci,
  lat varchar(20) CHARACTER SET latin1, bin binary(4), vb varbinary(8), t text, lt longtext, bl longblob,
  e enum('a', 'ü'), s set('x', 'y', 'z'), j json, gen int GENERATED ALWAYS AS (id * 2) STORED,
  virt varchar(30) GENERATED ALWAYS AS (CONCAT(v, '!')) VIRTUAL, g geometry, `Odd ``Name` text);
INSERT INTO types (id, f, d, n, u, b, y, dt, ts, da, ti, c, v, lat, bin, vb, t, lt, bl, e, s, j, g, `Odd ``Name`) VALUES
  (1, 0.1, 0.1, 1.10, 18446744073709551615, b'1000000001', 2024, '2024-06-01 12:00:00.123456', '2024-06-01 12:00:00.123456',
   '2024-02-29', '-838:59:59.000', 'ab', 'ab ', 'é', 'ab', X'00FF27', 'tab\t "quote" back\\ ü', REPEAT('long ü', 20000),
   REPEAT(X'00FF', 100000), 'ü', 'x,z', '{"b": 1, "a": [1.0, "x"]}', ST_GeomFromText('POINT(1.5 -0.25)'), ','),
  (2, 3.4028235e38, 1.7976931348623157e308, -0.0000000001, 0, b'0', 1901, '0000-00-00 00:00:00', NULL, '0000-00-00', '0',
   '', '', '', '', '', '', '', '', 'a', '', 'null', NULL, '-'),
  (3, -0.0, 5e-324, 0, 1, NULL, NULL, '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '1000-01-01', NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, 16777217, 123456789.987654321, 99999999999999999999.9999999999, 42, b'11', 2155, '2024-10-27 02:30:00', '2024-10-27 01:30:00',
   '2024-10-27', '02:30:00.5', 'ÄB  c', 'Äb', 'ÿ', X'00000001', X'20', 'a', 'A', 'a ', 'a', 'y', '[]', ST_GeomFromText('LINESTRING(0 0, 1 1)'), '');
CREATE TABLE wide (id bigint PRIMARY KEY, v varchar(40), at timestamp NULL);
INSERT INTO wide SELECT a.i + b.i * 10 + c.i * 100 + d.i * 1000 + e.i * 10000, CONCAT('v', a.i, b.i), '2024-01-01 00:00:00'
  FROM digits a, digits b, digits c, digits d, digits e WHERE e.i < 3;
CREATE TABLE textkey (k varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v int);
INSERT INTO textkey SELECT CONCAT(CHAR(65 + a.i * 2 + b.i), ' É', c.i, d.i, '-', b.i), a.i FROM digits a, digits b, digits c, digits d WHERE b.i < 4;
CREATE TABLE compound (a int, b varchar(10) CHARACTER SET latin1, v double, PRIMARY KEY (b, a));
INSERT INTO compound SELECT a.i * 10 + b.i, CONCAT('ß', c.i, d.i), a.i / 7 FROM digits a, digits b, digits c, digits d;
CREATE TABLE binkey (k binary(16) PRIMARY KEY, v int);
INSERT INTO binkey SELECT UNHEX(LEFT(SHA2(a.i + b.i * 10 + c.i * 100 + d.i * 1000, 256), 32)), a.i FROM digits a, digits b, digits c, digits d;
CREATE TABLE timekey (k datetime(6) PRIMARY KEY, v int);
INSERT INTO timekey SELECT '2024-01-01' + INTERVAL (a.i + b.i * 10 + c.i * 100) MINUTE, a.i FROM digits a, digits b, digits c;
CREATE TABLE enumkey (k enum('z', 'ü', 'a') PRIMARY KEY, v int);
INSERT INTO enumkey VALUES ('z', 1), ('ü', 2), ('a', 3);
CREATE TABLE uniquekey (id int NULL, code varchar(9) NOT NULL UNIQUE);
INSERT INTO uniquekey SELECT NULL, CONCAT('c', i) FROM digits;
CREATE TABLE nokey (a double, b varchar(10));
INSERT INTO nokey SELECT a.i / 3, NULLIF(CONCAT('x', b.i), 'x0') FROM digits a, digits b, digits c, digits d WHERE d.i < 3;
CREATE TABLE part (id int, region varchar(5), v text, PRIMARY KEY (id, region))
  PARTITION BY LIST COLUMNS (region) (PARTITION n VALUES IN ('n'), PARTITION s VALUES IN ('s'));
INSERT INTO part SELECT a.i + b.i * 10, IF(a.i % 2, 'n', 's'), 'v' FROM digits a, digits b;
CREATE TABLE hollow (id int PRIMARY KEY);
