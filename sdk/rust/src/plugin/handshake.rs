//! The first words with the host: its cookie, its variables, our line. docs/plugin-protocol.md#handshake

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

const COOKIE_KEY: &str = "FN_PLUGIN_COOKIE";
const COOKIE_VALUE: &str = "5d6f0a3b9c1e47d28f60b7a4c3e9128d0fb65a7e4c1938d2a06be57f93c4d1e8";
const VERSION: u32 = 1;
/// All that a host may send; gone from the environment once read.
const VARIABLES: [&str; 7] = [
    "PLUGIN_MIN_PORT",
    "PLUGIN_MAX_PORT",
    "PLUGIN_PROTOCOL_VERSIONS",
    "PLUGIN_CLIENT_CERT",
    "PLUGIN_MULTIPLEX_GRPC",
    "PLUGIN_UNIX_SOCKET_DIR",
    "PLUGIN_UNIX_SOCKET_GROUP",
];
/// What all systems take.
const MAX_SOCKET_PATH_BYTES: usize = 103;
const NOT_A_COMMAND: &str = "This program is a plugin of fn: it is started by a host, not by hand.
Deploy it with `fn deploy`, or try it with `fn dev`.
";

/// What the host said at the start. An empty variable is unset.
pub(crate) struct Handshake {
    client_certificate: Option<String>,
    asks_for_multiplexing: bool,
    socket_dir: Option<PathBuf>,
    socket_group: Option<String>,
}

impl Handshake {
    /// Reads the host's variables and removes them: neither the author's code nor its children have a use for them. Exits without a cookie.
    pub(crate) fn read() -> Self {
        if std::env::var(COOKIE_KEY).as_deref() != Ok(COOKIE_VALUE) {
            eprint!("{NOT_A_COMMAND}");
            std::process::exit(1);
        }
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let handshake = Handshake {
            client_certificate: given("PLUGIN_CLIENT_CERT"),
            asks_for_multiplexing: given("PLUGIN_MULTIPLEX_GRPC").is_some(),
            socket_dir: given("PLUGIN_UNIX_SOCKET_DIR").map(PathBuf::from),
            socket_group: given("PLUGIN_UNIX_SOCKET_GROUP"),
        };
        for name in VARIABLES.into_iter().chain([COOKIE_KEY]) {
            std::env::remove_var(name);
        }
        handshake
    }

    /// PEM of whom alone to serve; without, there is no TLS.
    pub(crate) fn client_certificate(&self) -> Option<&str> {
        self.client_certificate.as_deref()
    }

    /// The line that says where we listen. There is one version, so whatever the host offers, it is this; a host that knows others alone says so
    /// itself. The seventh field is only for hosts that ask for it, and says no.
    pub(crate) fn line(&self, socket: &Path, certificate: &str) -> String {
        let multiplexed = if self.asks_for_multiplexing { "|false" } else { "" };
        format!("1|{VERSION}|unix|{}|grpc|{certificate}{multiplexed}\n", socket.display())
    }

    /// A path for our socket, short enough for the kernel.
    pub(crate) fn socket_path(&self) -> io::Result<PathBuf> {
        let digits: String = super::random_bytes::<6>().iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = self.socket_dir.clone().unwrap_or_else(std::env::temp_dir);
        let paths = [folder.as_path(), Path::new("/tmp")].map(|folder| folder.join(format!("plugin{digits}")));
        let short = paths.into_iter().find(|path| path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES);
        short.ok_or_else(|| io::Error::other(format!("the path of a socket in {} would be too long", folder.display())))
    }

    /// Lets the host's group connect, if it named one.
    pub(crate) fn open_to_group(&self, socket: &Path) -> io::Result<()> {
        let Some(name) = &self.socket_group else {
            return Ok(());
        };
        let group = match name.parse() {
            Ok(id) => id,
            Err(_) => group_id(name)?,
        };
        std::os::unix::fs::chown(socket, None, Some(group))?;
        std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o660))
    }
}

fn group_id(name: &str) -> io::Result<u32> {
    let text = CString::new(name)?;
    // SAFETY: the name ends in a zero; what is pointed to is read at once, before there are threads that could ask for another group.
    let group = unsafe { libc::getgrnam(text.as_ptr()).as_ref().map(|entry| entry.gr_gid) };
    group.ok_or_else(|| io::Error::other(format!("there is no group {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(asks_for_multiplexing: bool, socket_dir: &str) -> Handshake {
        Handshake { client_certificate: None, asks_for_multiplexing, socket_dir: Some(socket_dir.into()), socket_group: None }
    }

    #[test]
    fn the_line_has_six_fields_or_seven() {
        assert_eq!(handshake(false, "/x").line(Path::new("/x/p"), ""), "1|1|unix|/x/p|grpc|\n");
        assert_eq!(handshake(true, "/x").line(Path::new("/x/p"), "MII"), "1|1|unix|/x/p|grpc|MII|false\n");
    }

    #[test]
    fn a_folder_that_is_too_long_is_not_used() {
        assert!(handshake(false, "/short").socket_path().unwrap().starts_with("/short"));
        assert!(handshake(false, &format!("/{}", "x".repeat(120))).socket_path().unwrap().starts_with("/tmp"));
    }
}
