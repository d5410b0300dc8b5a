export const shoutIt = (event) => ({ type: "com.example.shouted", data: String(event.data).toUpperCase() })
