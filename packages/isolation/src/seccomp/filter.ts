/**
 * The system call filter of sandboxes.
 *
 * A list of what is refused, not of what is allowed: Node, Go, Java and Python each use calls of their own, and a new call of a new kernel
 * starts allowed. It also closes what namespaces leave open: kinds of sockets that a network namespace does not cover (AF_VSOCK reaches the
 * machine outside of a virtual one), and namespaces inside the sandbox.
 */
import {
  ALLOW,
  ARCHITECTURE,
  answer,
  argument,
  assemble,
  type Instruction,
  ifEqualSkip,
  KILL_PROCESS,
  load,
  NUMBER,
  refuse,
  unlessAnyBitSkip,
  unlessAtLeastSkip,
  unlessEqualSkip,
} from "./bpf.js"
import { ARCH, CLONE, CLONE3, IOCTL, REFUSED, SOCKET, X32_BIT } from "./syscalls-x64.js"

const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97
/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: what runtimes open to look around even without a network. */
const SOCKET_FAMILIES = [1, 2, 10, 16]
/** Every CLONE_NEW… flag of clone but CLONE_NEWTIME, which clone does not take. */
const NEW_NAMESPACES = 0x7e020000
/** Type into the terminal that is above us; the same on a virtual console. */
const TIOCSTI = 0x5412
const TIOCLINUX = 0x541c

/** The filter for this machine, or undefined for an architecture it was not written and tried for. */
export function seccompFilter(architecture: string = process.arch): Buffer | undefined {
  return architecture === "x64" ? assemble(instructions()) : undefined
}

function instructions(): Instruction[] {
  return [
    // Numbers mean something else to 32-bit programs.
    load(ARCHITECTURE),
    ifEqualSkip(ARCH, 1),
    answer(KILL_PROCESS),
    load(NUMBER),
    unlessAtLeastSkip(X32_BIT, 1),
    answer(KILL_PROCESS),
    ...Object.values(REFUSED).flatMap((number) => [unlessEqualSkip(number, 1), answer(refuse(EPERM))]),
    // Its flags are behind a pointer, where a filter cannot look; programs fall back to clone.
    unlessEqualSkip(CLONE3, 1),
    answer(refuse(ENOSYS)),
    unlessEqualSkip(CLONE, 4),
    load(argument(0)),
    unlessAnyBitSkip(NEW_NAMESPACES, 1),
    answer(refuse(EPERM)),
    answer(ALLOW),
    unlessEqualSkip(IOCTL, 5),
    load(argument(1)),
    ifEqualSkip(TIOCSTI, 1),
    unlessEqualSkip(TIOCLINUX, 1),
    answer(refuse(EPERM)),
    answer(ALLOW),
    unlessEqualSkip(SOCKET, SOCKET_FAMILIES.length + 3),
    load(argument(0)),
    ...SOCKET_FAMILIES.map((family, index) => ifEqualSkip(family, SOCKET_FAMILIES.length - index)),
    answer(refuse(EAFNOSUPPORT)),
    answer(ALLOW),
    answer(ALLOW),
  ]
}
