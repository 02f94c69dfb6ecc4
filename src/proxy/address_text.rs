//! The text of an IP address, made once for each connection.

use std::io::{Cursor, Write};
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of the longest one, an IPv6 address that ends in an IPv4 one.
const MAX: usize = 45;

/// An IP address as text.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressText {
    bytes: [u8; MAX],
    length: usize,
}

impl AddressText {
    /// That of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; MAX], length: 0 };
        match address {
            IpAddr::V4(address) => text.push_v4(address),
            IpAddr::V6(address) => {
                let mut bytes = Cursor::new(&mut text.bytes[..]);
                write!(bytes, "{address}").expect("an address fits");
                text.length = bytes.position() as usize;
            }
        }
        text
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The formatter of the standard library takes a thousand instructions for it.
    fn push_v4(&mut self, address: Ipv4Addr) {
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                self.push(b'.');
            }
            if octet >= 100 {
                self.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.push(b'0' + octet / 10 % 10);
            }
            self.push(b'0' + octet % 10);
        }
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard_library() {
        let octets = (0..=u8::MAX).map(|octet| Ipv4Addr::new(octet, 255 - octet, octet / 2, octet).into());
        let others = ["::", "::1", "2001:db8::ff00:42:8329", "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"];
        let others = others.map(|text| text.parse().expect("an address"));
        for address in octets.chain(others) {
            assert_eq!(AddressText::of(address).as_bytes(), IpAddr::to_string(&address).as_bytes());
        }
    }
}
