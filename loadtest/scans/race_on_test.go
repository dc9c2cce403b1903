//go:build race

package scans

const raceDetector = true
