//! MySQL and MariaDB: the sandbox, and whole cutovers by the real program.

mod check;
mod compare;
mod pairs;
mod preflight;
mod sandbox;
