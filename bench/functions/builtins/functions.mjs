import { burn as burnRounds } from "../../measure/burn.mjs"

/** Gives back what it gets, in an event of its own. */
export const echoBuiltin = (event) => ({ type: "com.example.echoed", data: event.data })

/** Burns processor time: `rounds` of it. */
export const burn = (event) => ({ type: "com.example.burnt", data: { result: burnRounds(event.data.rounds) } })
