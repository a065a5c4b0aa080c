CREATE SCHEMA app AUTHORIZATION app;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION postgres_fdw;
CREATE TYPE app.mood AS ENUM ('sad', 'ok; fine', 'happy');
CREATE DOMAIN app.email AS text CHECK (VALUE ~ '@');
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE SEQUENCE app.free_seq INCREMENT 5;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.note := coalesce(NEW.note, '') || ';'; RETURN NEW;
END $$;
CREATE FUNCTION app.atomic(x int) RETURNS int LANGUAGE sql
BEGIN ATOMIC SELECT CASE WHEN x > 1 THEN 1 ELSE 2 END; SELECT x + 1; END;
CREATE PROCEDURE app.nothing() LANGUAGE sql AS 'SELECT 1;';
CREATE FUNCTION app.next_code() RETURNS text LANGUAGE sql AS 'SELECT ''c'' || nextval(''app.free_seq'')';
CREATE TABLE app.users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email app.email, mood app.mood DEFAULT 'ok; fine', p app.pair,
  note text, low text GENERATED ALWAYS AS (lower(note)) STORED, seen app.span);
CREATE TABLE app.orders (
  id serial PRIMARY KEY, user_id bigint REFERENCES app.users, total numeric(10, 2) CHECK (total >= 0),
  code text NOT NULL DEFAULT app.next_code(), CONSTRAINT uq_code UNIQUE (code));
CREATE FUNCTION app.worth(o app.orders) RETURNS numeric LANGUAGE sql AS 'SELECT o.total';
CREATE INDEX orders_user ON app.orders (user_id) WHERE total > 0;
CREATE INDEX orders_trgm ON app.orders USING gin (code gin_trgm_ops);
COMMENT ON INDEX app.orders_user IS 'it''s; an index';
CREATE TABLE app.log (at timestamptz NOT NULL, what text, uid uuid NOT NULL);
CREATE UNIQUE INDEX log_uid ON app.log (uid);
ALTER TABLE app.log REPLICA IDENTITY USING INDEX log_uid;
CREATE TABLE app.part (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.part_a PARTITION OF app.part FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE INDEX part_at ON app.part (at);
CREATE VIEW app.v AS SELECT id, note FROM app.users WHERE mood <> 'sad';
CREATE MATERIALIZED VIEW app.mv AS SELECT count(*) AS n FROM app.users;
CREATE UNIQUE INDEX mv_n ON app.mv (n);
CREATE TRIGGER t BEFORE INSERT ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
ALTER TABLE app.users ENABLE ALWAYS TRIGGER t;
CREATE RULE r AS ON DELETE TO app.log DO INSTEAD NOTHING;
ALTER TABLE app.users ENABLE ROW LEVEL SECURITY;
CREATE POLICY pol ON app.users TO reader USING (id > 0);
CREATE STATISTICS app.st ON id, user_id FROM app.orders;
ALTER TABLE app.orders ALTER COLUMN code SET (n_distinct = 5);
ALTER TABLE app.users OWNER TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO reader;
GRANT USAGE ON SCHEMA app TO reader, granter;
GRANT SELECT ON app.log TO granter WITH GRANT OPTION;
SET ROLE granter;
GRANT SELECT ON app.log TO app;
RESET ROLE;
GRANT CREATE ON SCHEMA public TO app;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO reader;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere');
CREATE USER MAPPING FOR app SERVER far OPTIONS (user 'u', password 'hush');
CREATE FOREIGN TABLE app.remote (id int) SERVER far;
