CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE TABLE types (
  id int PRIMARY KEY, f4 float4, f8 float8, n numeric, ts timestamptz, t timestamp, d date, i interval, tz timetz,
  j json, jb jsonb, b bytea, c char(6), vc varchar(9), a int[], ta text[], p pair, m mood, u uuid, net inet, bits bit varying,
  r tstzrange, mr int4multirange, x xml, money money, name name, vec tsvector, pt point, lsn pg_lsn,
  gen int GENERATED ALWAYS AS (id * 2) STORED, "Odd ""Name" text);
INSERT INTO types VALUES
  (1, 0.1, 0.1, 1.10, '2024-06-01 12:00:00.123456+02', '2024-06-01 12:00', '2024-02-29', '1 mon -3 days 04:05:06.7',
   '12:00+02', '{"b": 1,  "a": [1.0]}', '{"b": 1,  "a": [1.0]}', '\x00ff27', 'ab', 'ab ', '{1,NULL,3}', '{"a,b",NULL,""}',
   (1, NULL), 'sad', '00000000-0000-0000-0000-000000000001', '10.0.0.1/8', B'1010', '[2024-01-01 00:00+00,)',
   '{[1,3),[5,8)}', '<a b="1">x</a>', 12.34, 'nm', 'fat:2 cat:3', '(1.5,-0)', '16/B374D848', DEFAULT, E'tab\t quote" back\\ ü'),
  (2, 'NaN', '-Infinity', 'NaN', 'infinity', '-infinity', 'infinity', '0', '00:00Z', 'null', 'null', '', '', '', '{}', '{}',
   NULL, NULL, NULL, NULL, B'', 'empty', '{}', NULL, NULL, '', '', NULL, NULL, DEFAULT, ''),
  (3, 3.4028235e38, 1.7976931348623157e308, 1.100, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   ROW(NULL, ''), 'happy', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, NULL),
  (4, -0.0, 5e-324, 0.00, '0044-03-15 12:00:00+00 BC', NULL, '0044-03-15 BC', '-1 year', NULL, '[]', '[]', '\x5c', 'é', 'é',
   '[2:3]={7,8}', '{{a,b},{c,d}}', (2, 'x,"y'), 'sad', NULL, '::1', NULL, NULL, NULL, NULL, -1, NULL, NULL, NULL, NULL, DEFAULT, '(a,b)');
CREATE TABLE part (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_a PARTITION OF part FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE part_b PARTITION OF part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO part SELECT g, '2023-06-01'::date + g, 'v' || g FROM generate_series(1, 500) g;
CREATE TABLE textkey (k text COLLATE "C" PRIMARY KEY, v int);
INSERT INTO textkey SELECT chr(48 + g % 70) || ' ' || g || 'É', g FROM generate_series(1, 2000) g;
CREATE TABLE nokey (a float8, b text);
INSERT INTO nokey SELECT g % 7 / 3.0, nullif('x' || g % 3, 'x0') FROM generate_series(1, 1000) g;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (extra int) INHERITS (parent);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 2);
CREATE UNLOGGED TABLE unlogged (id int);
CREATE TABLE empty (id int PRIMARY KEY);
CREATE TABLE columnless ();
