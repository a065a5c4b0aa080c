//! MySQL and MariaDB: the sandbox.

mod check;
mod compare;
mod pairs;
mod preflight;
mod sandbox;
