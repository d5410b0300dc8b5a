/** A builtin that gives back what it gets. @param {{ data?: unknown }} event */
export const builtinNeighbour = (event) => ({ type: "echoed", data: event.data })
