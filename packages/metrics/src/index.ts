export { createPrometheusInstruments, type PrometheusInstruments, type PrometheusOptions } from "./prometheus.js"
