import { describe, expect, test } from "@jest/globals"
import { parseHierarchies } from "./hierarchies.js"

describe("parseHierarchies", () => {
  test("a hybrid machine has version 1 controllers and a version 2 tree", () => {
    const mountinfo = [
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    ].join("\n")
    const cgroup = "9:name=systemd:/\n4:memory:/api/6795\n1:cpu,cpuacct:/\n0::/\n"
    expect(parseHierarchies(mountinfo, cgroup)).toEqual([
      { version: 1, controllers: ["cpu", "cpuacct"], ownFolder: "/sys/fs/cgroup/cpu,cpuacct/" },
      { version: 1, controllers: ["memory"], ownFolder: "/sys/fs/cgroup/memory/api/6795" },
      { version: 2, controllers: [], ownFolder: "/sys/fs/cgroup/unified/" },
    ])
  })

  test("a mount that shows only a container's part of the tree", () => {
    const mountinfo = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"
    expect(parseHierarchies(mountinfo, "4:memory:/docker/abc/inner\n")).toEqual([
      { version: 1, controllers: ["memory"], ownFolder: "/sys/fs/cgroup/memory/inner" },
    ])
  })

  test("a group outside of what the namespace shows counts as the root that is shown", () => {
    const mountinfo = "35 31 0:32 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
    expect(parseHierarchies(mountinfo, "0::/../other\n")).toEqual([{ version: 2, controllers: [], ownFolder: "/sys/fs/cgroup/" }])
  })

  test("a mount point with a space, and one that is mounted twice", () => {
    const mountinfo = ["1 0 0:1 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw", "2 0 0:1 / /mnt/again rw - cgroup2 cgroup2 rw"].join("\n")
    expect(parseHierarchies(mountinfo, "0::/a.slice\n")).toEqual([{ version: 2, controllers: [], ownFolder: "/mnt/my groups/a.slice" }])
  })

  test("no control groups at all", () => {
    expect(parseHierarchies("22 1 0:21 / /proc rw - proc proc rw", "")).toEqual([])
  })
})
