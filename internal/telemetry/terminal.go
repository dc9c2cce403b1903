package telemetry

import (
	"os"

	"golang.org/x/sys/unix"
)

// IsTerminal says whether a person reads f.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// CanDraw says whether bars can be drawn on f: it is a terminal, and tells how large it is. One that does not, as scripts
// and containers often have it, has 0 rows, and bars show nothing in so many: lines do.
func CanDraw(f *os.File) bool {
	if !IsTerminal(f) {
		return false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil && size.Row > 0 && size.Col > 0
}
