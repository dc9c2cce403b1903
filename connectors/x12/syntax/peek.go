package syntax

import (
	"bytes"
	"io"
)

// Peek reads the first interchange header of a document from its beginning, and ST01 of its first set where the beginning
// holds it. It checks nothing behind the header. ok is false where there is no readable header.
func Peek(head []byte) (ic *Interchange, firstSet string, ok bool) {
	s := scanner{buf: head[:len(head):len(head)], limits: Limits{}.ensureDefaults(), mark: -1}
	s.err = io.EOF
	if !s.blanks() || !s.atHeader() {
		return nil, "", false
	}
	ic, _ = s.header()
	if ic == nil {
		return nil, "", false
	}
	for s.blanks() && !s.atHeader() {
		rest := s.buf[s.pos:]
		end := bytes.Index(rest, s.term)
		if end < 0 {
			break
		}
		if id, found := bytes.CutPrefix(unwrap(nil, rest[:end]), []byte{'S', 'T', ic.Element}); found {
			if i := bytes.IndexByte(id, ic.Element); i >= 0 {
				id = id[:i]
			}
			return ic, string(id), true
		}
		s.pos += end + len(s.term)
	}
	return ic, "", true
}
