//! MySQL and MariaDB: the sandbox.

mod compare;
mod preflight;
mod sandbox;
mod support;
