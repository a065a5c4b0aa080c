//! MySQL and MariaDB: the sandbox.

mod sandbox;
