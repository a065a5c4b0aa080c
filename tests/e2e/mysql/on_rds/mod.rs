//! MySQL as RDS has it: accounts without SUPER, procedures of the names of RDS's, read replicas and Blue/Green deployments.
//!
//! Rests on the overlay of RDS, which is our belief about AWS. The servers behind the instances are real.

mod blue_green;
mod instances;
mod procedures;
mod read_replica;
