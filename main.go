// Rollcall probes services for Prometheus and sends a mail when one is down. Package cli holds its commands.
package main

import "rollcall/cli"

func main() { cli.Main() }
