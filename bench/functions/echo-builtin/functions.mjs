/** Gives back what it gets, in an event of its own. */
export const echoBuiltin = (event) => ({ type: "com.example.echoed", data: event.data })
