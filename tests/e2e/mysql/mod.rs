//! MySQL and MariaDB: the sandbox, and whole cutovers by the real program.

mod compare;
mod preflight;
mod sandbox;
mod support;
