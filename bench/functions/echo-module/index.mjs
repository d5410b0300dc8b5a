/** Gives back what it gets, in an event of its own. */
export default (event) => ({ type: "com.example.echoed", data: event.data })
