//! Fast tests that need no server and no network.
mod licences;
mod scripts;
mod tidy;
