-- A small shop: the things that a move of a database has to cope with, on a few tables.
CREATE TABLE accounts (
    id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name        VARCHAR(100) NOT NULL,
    code        CHAR(8) NOT NULL,
    balance     DECIMAL(14, 2) NOT NULL DEFAULT 0,
    rating      DOUBLE,
    picture     BLOB,
    settings    JSON NOT NULL,
    touched_at  TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    KEY accounts_name (name)
);

CREATE TABLE orders (
    id          INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account_id  BIGINT NOT NULL,
    state       ENUM('new', 'paid', 'sent', 'returned') NOT NULL DEFAULT 'new',
    quantity    INT NOT NULL DEFAULT 1 CHECK (quantity > 0),
    price       DECIMAL(12, 2) NOT NULL DEFAULT 1,
    total       DECIMAL(14, 2) GENERATED ALWAYS AS (quantity * price) STORED,
    note        TEXT,
    ordered_at  TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    KEY orders_account (account_id),
    CONSTRAINT orders_of_account FOREIGN KEY (account_id) REFERENCES accounts (id)
);

CREATE TABLE order_history (
    id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id    INT NOT NULL,
    state       ENUM('new', 'paid', 'sent', 'returned') NOT NULL,
    at          TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);

-- Row format carries what a trigger wrote; the applier fires none.
CREATE TRIGGER note_order AFTER INSERT ON orders FOR EACH ROW
    INSERT INTO order_history (order_id, state) VALUES (NEW.id, NEW.state);

CREATE TABLE events (
    id          BIGINT NOT NULL AUTO_INCREMENT,
    region      VARCHAR(20) NOT NULL,
    body        JSON NOT NULL,
    at          TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id, region)
) PARTITION BY LIST COLUMNS (region) (
    PARTITION north VALUES IN ('north'), PARTITION south VALUES IN ('south'), PARTITION west VALUES IN ('west')
);

CREATE VIEW open_orders AS SELECT o.id, a.name, o.total FROM orders o JOIN accounts a ON a.id = o.account_id WHERE o.state = 'new';

CREATE PROCEDURE orders_of (IN account BIGINT) READS SQL DATA
    SELECT id, state, total FROM orders WHERE account_id = account;

-- It has nothing to do in a sandbox, but must not run on two servers.
CREATE EVENT tidy ON SCHEDULE EVERY 1 HOUR STARTS '2030-01-01 00:00:00' DO DELETE FROM order_history WHERE at < '2000-01-01 00:00:00';

-- Each ticket is a row: the numbers of a column that counts up by itself.
CREATE TABLE tickets (
    id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    drawn_by    INT NOT NULL
) AUTO_INCREMENT = 1001;

-- What the workload writes. Nothing here is unique but the id, so that a write that was applied twice can be seen.
CREATE TABLE ledger (
    id          BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    client      INT NOT NULL,
    n           BIGINT NOT NULL,
    token       VARCHAR(64) NOT NULL,
    via         VARCHAR(64) NOT NULL,
    ticket      BIGINT NOT NULL,
    written_at  TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);

-- What the probes write, each to one database past what stands before it.
CREATE TABLE probe (
    token       VARCHAR(64) PRIMARY KEY,
    side        VARCHAR(16) NOT NULL,
    at          TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
);
