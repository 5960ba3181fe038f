//! `[waivers]`: how far exceptions may go. Invariant: every waiver that a person makes has an end.

use super::reader::Reader;

/// `[waivers]`: how far exceptions may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waivers {
    /// Days that a waiver may last.
    pub max_days: u32,
    /// Whether a second person must approve each one, also where the repo does not ask for dual control.
    pub second_person: bool,
}

impl Default for Waivers {
    fn default() -> Waivers {
        Waivers { max_days: 90, second_person: false }
    }
}

impl Waivers {
    pub(super) fn read(reader: &mut Reader) -> Waivers {
        let default = Waivers::default();
        Waivers {
            max_days: reader.number("waivers.max_days", default.max_days, &(1..=3_650)),
            second_person: reader.find("waivers.second_person").unwrap_or(default.second_person),
        }
    }
}
