//! Addresses as the kernel has them.

use std::{io, net::SocketAddr, os::unix::ffi::OsStrExt, path::Path};

/// The family, and the bytes of a `sockaddr`.
pub(super) fn internet(address: SocketAddr) -> (i32, Vec<u8>) {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let mut bytes = (family as u16).to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(address.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            bytes.extend(address.flowinfo().to_be_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend(address.scope_id().to_ne_bytes());
        }
    }
    (family, bytes)
}

/// The bytes of a `sockaddr_un`.
pub(super) fn unix(path: &Path) -> io::Result<Vec<u8>> {
    let path = path.as_os_str().as_bytes();
    let most = size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>() - 1;
    if path.is_empty() || path.contains(&0) || path.len() > most {
        let text = format!("a socket's path has 1 to {most} bytes and no NUL");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(path);
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_laid_out_as_in_c() {
        let (family, bytes) = internet("1.2.3.4:80".parse().unwrap());
        assert_eq!(family, libc::AF_INET);
        assert_eq!(bytes.len(), size_of::<libc::sockaddr_in>());
        assert_eq!(bytes[2..8], [0, 80, 1, 2, 3, 4]);
        let (_, bytes) = internet("[::1]:443".parse().unwrap());
        assert_eq!(bytes.len(), size_of::<libc::sockaddr_in6>());
        assert_eq!((bytes[2], bytes[3], bytes[23]), (1, 187, 1));
        assert_eq!(unix(Path::new("/a")).unwrap(), [1, 0, b'/', b'a', 0]);
        assert!(unix(Path::new("")).is_err());
        assert!(unix(Path::new(&"x".repeat(108))).is_err());
    }
}
