//! error[E0451]: nobody but the access rules makes a `Permit`.
use artifortress::domain::access::{Admin, Permit, Roles};

pub fn forge(real: Permit<Admin>, roles: Roles) -> Permit<Admin> {
    Permit { roles, ..real }
}

fn main() {}
