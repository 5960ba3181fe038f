//! The states of a version and the steps between them. Invariant: `State::after` is the only list of legal steps;
//! the schema's trigger repeats it and a test holds the two equal.

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident $what:literal { $($(#[$variant_doc:meta])* $variant:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the definition.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The text used in the database and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> Result<$name, $crate::error::Error> {
                $name::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    let known: Vec<&str> = $name::ALL.iter().map(|value| value.as_str()).collect();
                    $crate::error::Error::bad_request(format!(concat!("unknown ", $what, "; known are {}"), known.join(", ")))
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_enum;

text_enum! {
    /// What a version is; the one column that says what a reader may see.
    State "state" {
        /// Being put together; its files and manifest may still change.
        Draft "draft",
        /// Held by the gate or by hand until a reviewer decides.
        Quarantined "quarantined",
        /// Visible to readers.
        Published "published",
        /// Refused by a reviewer, for good.
        Rejected "rejected",
        /// Taken back; its coordinate stays spent.
        Tombstoned "tombstoned",
    }
}

text_enum! {
    /// Where a hold came from, and so where a release leads.
    HeldFrom "origin of a hold" {
        /// A draft that nobody asked to publish; a release returns it to `draft`.
        Draft "draft",
        /// A publish or promote that the gate held; a release publishes it.
        Publish "publish",
        /// A published version held later; a release makes it visible again.
        Published "published",
        /// A tombstone whose restore the gate held; a release publishes it.
        Restore "restore",
    }
}

text_enum! {
    /// What may happen to a version.
    Step "step" {
        /// The gate allowed it to become visible.
        Publish "publish",
        /// The gate or a person holds it.
        Hold "hold",
        /// A reviewer releases the hold.
        Release "release",
        /// A reviewer rejects it.
        Reject "reject",
        /// Somebody takes it back.
        Tombstone "tombstone",
        /// The gate allowed a tombstone to become visible again.
        Restore "restore",
    }
}

impl HeldFrom {
    /// The state that a release leads to.
    #[must_use]
    pub const fn released_state(self) -> State {
        match self {
            HeldFrom::Draft => State::Draft,
            HeldFrom::Publish | HeldFrom::Published | HeldFrom::Restore => State::Published,
        }
    }
}

impl State {
    /// The state after `step`, or `None` when the step is not legal from here.
    ///
    /// `held_from` is where a held version's hold came from; it only matters for [`Step::Release`].
    #[must_use]
    pub const fn after(self, step: Step, held_from: Option<HeldFrom>) -> Option<State> {
        match (self, step) {
            (State::Draft, Step::Publish) | (State::Tombstoned, Step::Restore) => Some(State::Published),
            (State::Draft | State::Published | State::Tombstoned, Step::Hold) => Some(State::Quarantined),
            (State::Quarantined, Step::Release) => match held_from {
                Some(origin) => Some(origin.released_state()),
                None => None,
            },
            (State::Quarantined, Step::Reject) => Some(State::Rejected),
            (State::Published | State::Rejected, Step::Tombstone) => Some(State::Tombstoned),
            (State::Draft, Step::Release | Step::Reject | Step::Tombstone | Step::Restore)
            | (State::Quarantined, Step::Publish | Step::Hold | Step::Tombstone | Step::Restore)
            | (State::Published, Step::Publish | Step::Release | Step::Reject | Step::Restore)
            | (State::Rejected, Step::Publish | Step::Hold | Step::Release | Step::Reject | Step::Restore)
            | (State::Tombstoned, Step::Publish | Step::Release | Step::Reject | Step::Tombstone) => None,
        }
    }

    /// Whether files and manifest can no longer change.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        match self {
            State::Draft => false,
            State::Quarantined | State::Published | State::Rejected | State::Tombstoned => true,
        }
    }
}
