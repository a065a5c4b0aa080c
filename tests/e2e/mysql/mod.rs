//! MySQL and MariaDB: the sandbox, and whole cutovers by the real program.

mod sandbox;
