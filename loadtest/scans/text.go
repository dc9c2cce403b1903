package scans

import (
	"strconv"
	"unsafe"
)

// A text is a buffer in which names are written one after the other. What it hands out lies in place, and is valid until
// the buffer is emptied; growing it leaves that intact, because the old array stays.
type text struct{ b []byte }

func (t *text) since(at int) string { return unsafe.String(&t.b[at], len(t.b)-at) }

// add writes a name of several parts.
func (t *text) add(parts ...string) string {
	at := len(t.b)
	for _, p := range parts {
		t.b = append(t.b, p...)
	}
	return t.since(at)
}

// number writes a prefix and a number of at least width digits.
func (t *text) number(prefix string, n uint64, width int) string {
	at := len(t.b)
	t.b = appendDigits(append(t.b, prefix...), n, width)
	return t.since(at)
}

// two are the numbers from 00 to 99.
const two = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

const zeros = "00000000000000000000"

// appendDigits appends n in width digits, at most 20, or in as many as it needs where that is more.
func appendDigits(b []byte, n uint64, width int) []byte {
	at := len(b)
	b = append(b, zeros[:width]...)
	i := len(b)
	for n >= 100 && i >= at+2 {
		q := n / 100
		d := 2 * (n - 100*q)
		i -= 2
		b[i], b[i+1] = two[d], two[d+1]
		n = q
	}
	for n > 0 && i > at {
		i--
		b[i] = '0' + byte(n%10)
		n /= 10
	}
	if n == 0 {
		return b
	}
	// It does not fit: what was written are its last digits.
	var head, tail [20]byte
	last := append(tail[:0], b[at:]...)
	return append(append(b[:at], strconv.AppendUint(head[:0], n, 10)...), last...)
}

// check is the check digit of a GTIN or GLN whose other digits are body: weights 3, 1, 3 ... from the right, and the sum
// with the check digit is a multiple of ten (GS1 General Specifications 7.9).
func check(body uint64) uint64 {
	odd, even := uint64(0), uint64(0)
	for body > 0 {
		pair := body % 100
		body /= 100
		odd += pair % 10
		even += pair / 10
	}
	return (10 - (3*odd+even)%10) % 10
}
