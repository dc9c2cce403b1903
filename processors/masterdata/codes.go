package masterdata

import "strconv"

// digitsOnly says whether a code is digits and nothing else: only such codes have leading-zero forms (SAP's conversion
// exit ALPHA pads numeric material numbers alone).
func digitsOnly(code string) bool {
	if code == "" {
		return false
	}
	for i := 0; i < len(code); i++ {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return true
}

// bare is a numeric code without its leading zeros; "0" where it is all zeros. Other codes are their own bare form.
func bare(code string) string {
	if !digitsOnly(code) {
		return code
	}
	for i := 0; i < len(code)-1; i++ {
		if code[i] != '0' {
			return code[i:]
		}
	}
	return code[len(code)-1:]
}

// A gtin is a GTIN in its 14-digit form, as a number: 8-, 12- and 13-digit GTINs are the same numbers with zeros before
// them (GS1 General Specifications 7.9). 0 is none.
type gtin uint64

// gtin14 reads a GTIN of 8, 12, 13 or 14 digits. ok is false for other lengths, for other characters and for a wrong
// check digit.
func gtin14(code string) (g gtin, ok bool) {
	switch len(code) {
	case 8, 12, 13, 14:
	default:
		return 0, false
	}
	if !digitsOnly(code) {
		return 0, false
	}
	sum := 0
	for i := 0; i < len(code); i++ {
		d := int(code[i] - '0')
		g = g*10 + gtin(d)
		// From the right, the check digit included, weights are 1, 3, 1, 3 ...: the sum is a multiple of ten.
		if (len(code)-i)%2 == 0 {
			d *= 3
		}
		sum += d
	}
	return g, sum%10 == 0 && g != 0
}

// digits is the number without leading zeros, as bare makes it of the GTIN's text.
func (g gtin) digits() string { return strconv.FormatUint(uint64(g), 10) }
