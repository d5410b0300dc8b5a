import type { FunctionModule } from "@fn/plugin-sdk"

export declare const redact: FunctionModule
