package bench

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestDocumentsComeToAsManyEventsAsWereAskedFor(t *testing.T) {
	shop := newShop(4_000)
	for _, want := range []int64{1, 2, 3, 12, 13, 17, 18, 1_000, 12_345} {
		docs, got := newDocuments(7, shop, want), int64(0)
		for docs.next() {
			got += docs.doc.events()
			if n := len(docs.doc.lines); n < 1 || n > mostLines+1 {
				t.Fatalf("a document of %d lines", n)
			}
		}
		if got != max(2, want) { // a document has a line and a shipment
			t.Errorf("%d events asked for, %d came", want, got)
		}
	}
}

func TestEqualSeedsGiveEqualDocuments(t *testing.T) {
	shop := newShop(4_000)
	a, b, other := newDocuments(1, shop, 5_000), newDocuments(1, shop, 5_000), newDocuments(2, shop, 5_000)
	differ := false
	for a.next() {
		if !b.next() || !bytes.Equal(a.doc.bytes, b.doc.bytes) || !bytes.Equal(a.doc.key, b.doc.key) {
			t.Fatalf("document %d differs", a.number)
		}
		differ = differ || other.next() && !bytes.Equal(a.doc.bytes, other.doc.bytes)
	}
	if !differ {
		t.Error("another seed gives the same")
	}
}

// What a partner checks first: the counts and control numbers of the envelopes, and the totals.
func TestEnvelopesOfDocumentsAddUp(t *testing.T) {
	docs := newDocuments(3, newShop(4_000), 500)
	for docs.next() {
		segments := strings.Split(strings.TrimSuffix(string(docs.doc.bytes), "~\n"), "~\n")
		at := map[string][]string{}
		for i, s := range segments {
			e := strings.Split(s, "*")
			at[e[0]] = append(e, fmt.Sprint(i))
		}
		if len(segments[0]) != 105 { // with its terminator 106, X12.5
			t.Fatalf("ISA has %d characters: %s", len(segments[0]), segments[0])
		}
		set := len(segments) - 4 // without ISA, GS, GE and IEA
		if at["SE"][1] != fmt.Sprint(set) || at["IEA"][2] != at["ISA"][13] || at["GE"][2] != at["GS"][6] || at["SE"][2] != at["ST"][2] {
			t.Fatalf("%s", docs.doc.bytes)
		}
		total := int64(0)
		for _, l := range docs.doc.lines {
			total += l.qty
		}
		if at["W03"][1] != fmt.Sprint(total) {
			t.Fatalf("W03 %v, %d shipped", at["W03"], total)
		}
	}
}

// GS1 General Specifications, 7.9: the example's check digit.
func TestCheckDigits(t *testing.T) {
	for want, digits := range map[string]string{"6291041500213": "629104150021", "376104250021234569": "37610425002123456"} {
		if got := gs1(digits); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNamesOfTheShopMeanOneThing(t *testing.T) {
	s := newShop(4_000)
	codes := map[string]string{}
	tell := func(system, code, sku string) {
		if other, there := codes[system+"|"+code]; there && other != sku {
			t.Fatalf("%s of %s is %s and %s", code, system, other, sku)
		}
		codes[system+"|"+code] = sku
	}
	for i := range s.items {
		m := &s.items[i]
		tell("", m.SKU, m.SKU)
		tell("", m.GTIN.Value, m.SKU)
		tell("", m.UOMs[0].GTIN.Value, m.SKU)
		for _, a := range m.Aliases {
			tell(a.System.Or(""), a.Code, m.SKU)
		}
	}
}
