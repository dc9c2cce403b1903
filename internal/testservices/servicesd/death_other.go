//go:build unix && !linux

package main

import "syscall"

// diesWithParent has no equivalent here; a command that is left alone loses its services and ends.
func diesWithParent() *syscall.SysProcAttr { return nil }
