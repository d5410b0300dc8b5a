/** What of the host's own system a sandbox shows, read-only, to programs that need more than their own files. */
import { existsSync, lstatSync, readdirSync, readlinkSync } from "node:fs"

/**
 * - `none`: nothing; the command and all it needs are granted one by one
 * - `libraries`: shared libraries, and what languages keep beside them
 * - `programs`: all programs and libraries, for shell scripts and interpreters
 */
export type SystemView = "none" | "libraries" | "programs"

const FOLDERS: Readonly<Record<SystemView, readonly string[]>> = {
  none: [],
  libraries: ["/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"],
  programs: ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"],
}

/** Where systems keep the settings of Java, without which it does not start; its own folder in /usr has links to them. */
const JAVA_SETTINGS = /^java(-.*)?$/

/** What a program needs to trust others on the network, and to find them. */
const CERTIFICATES = ["/etc/ssl/certs"]
const NAMES = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services"]
const NETWORK_FILES = { none: [], egress: CERTIFICATES, full: [...CERTIFICATES, ...NAMES] } as const

/** Arguments of bwrap that show it. On merged systems `/bin` and its like are links into `/usr`, and are links inside, too. */
export function systemArguments(view: SystemView, network: keyof typeof NETWORK_FILES): string[] {
  const settings = view === "programs" ? readdirSync("/etc").filter((name) => JAVA_SETTINGS.test(name)) : []
  const paths = [...FOLDERS[view], ...settings.map((name) => `/etc/${name}`), ...NETWORK_FILES[network]]
  return paths.flatMap((path) => {
    if (!existsSync(path)) return []
    if (path.startsWith("/etc/") || !lstatSync(path).isSymbolicLink()) return ["--ro-bind", path, path]
    return ["--symlink", readlinkSync(path), path]
  })
}
