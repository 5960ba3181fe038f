//! Executable machine code by its first bytes. Invariant: names and extensions are never asked.

/// How many first bytes are looked at.
pub(super) const HEAD_BYTES: usize = 64;

/// Java's class files share four bytes with Mach-O's archives of several architectures, of which there are fewer than any class
/// file's version.
const ARCHITECTURES_LIMIT: u32 = 0x2d;

/// Whether a file that begins so is a program or library for a machine: ELF, PE, Mach-O, WebAssembly.
pub(super) fn is_machine_code(head: &[u8]) -> bool {
    match head {
        [0x7f, b'E', b'L', b'F', ..] | [0, b'a', b's', b'm', ..] => true,
        [b'M', b'Z', ..] => head.len() >= HEAD_BYTES,
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..] | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..] | [0xbe | 0xbf, 0xba, 0xfe, 0xca, ..] => true,
        [0xca, 0xfe, 0xba, 0xbe | 0xbf, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]) < ARCHITECTURES_LIMIT,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_machine_code_is_told_from_class_files_and_text() {
        let dos = [&b"MZ"[..], &[0; 62]].concat();
        for head in [
            &b"\x7fELF\x02"[..],
            b"\0asm\x01\0\0\0",
            &dos,
            b"\xfe\xed\xfa\xce",
            b"\xfe\xed\xfa\xcf",
            b"\xce\xfa\xed\xfe",
            b"\xcf\xfa\xed\xfe",
            b"\xca\xfe\xba\xbe\0\0\0\x02",
            b"\xca\xfe\xba\xbf\0\0\0\x02",
            b"\xbe\xba\xfe\xca",
        ] {
            assert!(is_machine_code(head), "{head:?}");
        }
        for head in [&b""[..], b"MZ is a text", b"#!/bin/sh", b"\xca\xfe\xba\xbe\0\0\0\x34", b"\xca\xfe\xba\xbe", b"PK\x03\x04"] {
            assert!(!is_machine_code(head), "{head:?}");
        }
    }
}
