//go:build !race

package scans

const raceDetector = false
