//! The typed input of every rule, as a Cedar schema. Invariant: every fact is always present (empty, zero or false where it
//! is unknown, with a flag that says so), so a stored rule can never fail for a missing one; what describes a fact stands at it.

/// The Cedar schema that policies are validated against, strictly. `@doc` describes a fact, `@flag` names the fact that says whether it is
/// known or whole; [`super::fact_table`] is made of both.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
