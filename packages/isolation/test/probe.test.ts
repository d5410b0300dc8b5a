/** What this very machine can enforce. A CI machine that lost a mechanism fails here instead of testing less. */
import { existsSync } from "node:fs"
import { expect, test } from "@jest/globals"
import { GUARANTEES, probeIsolation } from "../src/index.js"
import { MECHANISMS } from "../src/probe/mechanism.js"
import { can } from "./support/host.js"

test("PL-6: every mechanism is tried, and says in a sentence what was seen", async () => {
  if (!can("the trials")) return
  const { mechanisms, grades } = await probeIsolation()
  expect(Object.keys(mechanisms)).toEqual([...MECHANISMS])
  for (const { reason } of Object.values(mechanisms)) expect(reason).toMatch(/^\S.{10,}/)
  for (const level of ["process", "sandbox"] as const) {
    expect(Object.keys(grades[level]).sort()).toEqual([...GUARANTEES].sort())
    for (const { grade, reason } of Object.values(grades[level])) expect(grade === "hard" ? "none needed" : reason).toBeTruthy()
  }
})

test("the trials are made once per process, and say the same to all who ask", async () => {
  if (!can("the trials")) return
  expect(await probeIsolation()).toBe(await probeIsolation())
})

test("PL-6: root with bubblewrap and control groups can enforce everything in a sandbox", async () => {
  if (!can("a host that can enforce everything", "root", "bwrap")) return
  if (!existsSync("/sys/fs/cgroup")) return void console.warn("SKIPPED: needs /sys/fs/cgroup: a host that can enforce everything")
  const { grades, mechanisms } = await probeIsolation()
  const notHard = Object.entries(grades.sandbox).flatMap(([name, { grade, reason }]) =>
    grade === "hard" ? [] : [`${name} is ${grade}: ${reason}`],
  )
  expect(notHard).toEqual([])
  expect(Object.entries(mechanisms).filter(([, { available }]) => !available)).toEqual([])
})
