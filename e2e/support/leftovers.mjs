/** What a process and its children hold on a machine, to see afterwards that nothing of it is left. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { connect } from "node:net"
import { isAlive, processTree } from "@fn/testing"

/**
 * What a process and its descendants hold now. Linux only: it reads /proc.
 * @param {number} root
 */
export function holdings(root) {
  const pids = [root, ...processTree(root).map(({ pid }) => pid)]
  return { pids, sockets: unixSocketsOf(pids) }
}

/**
 * What of it is still there, in words; empty when all is gone.
 * @param {ReturnType<typeof holdings>} held
 */
export function remains({ pids, sockets }) {
  const processes = pids.filter(isAlive).map((pid) => `process ${pid}`)
  return [...processes, ...sockets.filter((path) => existsSync(path)).map((path) => `socket ${path}`)]
}

/** Whether nobody listens on a port of this machine. @param {string} url @returns {Promise<boolean>} */
export function isClosed(url) {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) })
    socket.once("connect", () => {
      socket.destroy()
      resolve(false)
    })
    socket.once("error", () => resolve(true))
  })
}

/** How many descriptors a process has open. @param {number} pid */
export function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).length
}

/**
 * Folders of the control groups that a host has made, in every hierarchy: its own, and below it one for each instance. Linux only.
 * @param {number} pid
 */
export function controlGroupsOf(pid) {
  const own = new RegExp(`/fn/${pid}-[^/]+(/|$)`)
  return groupFolders("/sys/fs/cgroup").filter((path) => own.test(path))
}

/** In-memory file systems that a process sees mounted: those of sandboxes are theirs alone. @param {number} pid */
export function tmpfsMountsOf(pid) {
  return readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .filter((line) => line.includes(" - tmpfs ")).length
}

/** Resident memory of a process in bytes. @param {number} pid */
export function residentBytes(pid) {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return Number(kilobytes) * 1024
}

/** Every folder below one, that included. @param {string} folder @returns {string[]} */
function groupFolders(folder) {
  try {
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    return [folder, ...below.flatMap(({ name }) => groupFolders(`${folder}/${name}`))]
  } catch {
    return [] // no control groups here, or the group went while we looked
  }
}

/** Paths of the unix sockets that processes have bound. @param {readonly number[]} pids @returns {string[]} */
function unixSocketsOf(pids) {
  const inodes = new Set(pids.flatMap(socketInodesOf))
  return readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, , , , , , inode, path] = line.trim().split(/\s+/)
      return path?.startsWith("/") && inodes.has(inode ?? "") ? [path] : []
    })
}

/** @param {number} pid @returns {string[]} */
function socketInodesOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1]
      return inode === undefined ? [] : [inode]
    })
  } catch {
    return [] // it ended while we looked
  }
}

/** @param {string} path */
function linkOf(path) {
  try {
    return readlinkSync(path)
  } catch {
    return "" // closed while we looked
  }
}
