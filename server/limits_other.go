//go:build !linux

package server

// descriptorLimit is not known here; 3,000 stands for a system with modest defaults.
func descriptorLimit() uint64 { return 3000 }

// memoryLimit is not known here.
func memoryLimit() uint64 { return 0 }
