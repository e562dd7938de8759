//go:build !unix

package mail

import "os/exec"

// ownGroup has nothing to do where there are no process groups: the program alone is ended.
func ownGroup(*exec.Cmd) {}
