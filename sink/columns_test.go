package sink

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"

	"crossdock/avro/event"
)

// inserted makes a table of the columns' types, inserts them as the sink does, and returns how to ask about it.
func inserted(t *testing.T, f *fixture, s *Sink, name string, columns []namedColumn) func(query string) string {
	t.Helper()
	db := f.config.ClickHouse.Database
	if err := f.db.Exec(t.Context(), "CREATE DATABASE IF NOT EXISTS "+db); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, c := range columns {
		kinds = append(kinds, c.name+" "+c.kind())
	}
	if err := f.db.Exec(t.Context(), "CREATE TABLE "+db+"."+name+" ("+strings.Join(kinds, ", ")+") ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	if err := s.insert(t.Context(), name, insertStatement(db, name, columns), columns, newHandover()); err != nil {
		t.Fatal(err)
	}
	return func(query string) string {
		t.Helper()
		got, err := f.texts(strings.ReplaceAll(query, "{t}", db+"."+name))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got)
	}
}

// Every way in which a column is handed over gives back what was put in, at the ends of its range and for dictionaries of
// every width. The engine computes the same values from the row's number, apart from the sink.
func TestColumnsHoldWhatWasPutIn(t *testing.T) {
	f := newFixture(t)
	s := f.sink()
	const rows = 70_000
	var (
		n               scalars[int64]
		qty             quantities
		at              times
		few, some, many symbols
		word            text
		list            texts
		movement        enum[event.MovementType]
		flag            scalars[bool]
		id              scalars[uuid.UUID]
		i32             scalars[int32]
		u32             scalars[uint32]
		u64             scalars[uint64]
		columns         = []namedColumn{{"n", &n}, {"qty", &qty}, {"at", &at}, {"few", &few}, {"some", &some}, {"many", &many}, {"word", &word}, {"list", &list}, {"movement", &movement}, {"flag", &flag}, {"id", &id}, {"i32", &i32}, {"u32", &u32}, {"u64", &u64}}
		fixed           = uuid.MustParse("01020304-0506-0708-090a-0b0c0d0e0f10")
		symbol          = func(i, of int) string { // every of-th is empty
			if i%of == 0 {
				return ""
			}
			return fmt.Sprintf("s%d", i%of)
		}
	)
	for round := range 2 { // the second time with the memory of the first
		for i := range rows {
			n.add(int64(i))
			qty.add(event.Quantity(i - 35_000))
			at.add(event.Micros(i) * 1_000_001)
			few.add(symbol(i, 5))
			some.add(symbol(i, 1000))
			many.add(symbol(i, 69_000))
			word.add(fmt.Sprintf("w%d", i))
			list.add([]string{"a", fmt.Sprint(i)}[:i%3%2+i%2])
			movement.addSymbol(event.MovementType(i % 18))
			flag.add(i%2 == 1)
			id.add(fixed)
			i32.add(int32(-i))
			u32.add(uint32(i))
			u64.add(uint64(i) << 40)
		}
		ask := inserted(t, f, s, fmt.Sprintf("c%d", round), columns)
		empty := func(column string, of int) string {
			return fmt.Sprintf("%s = if(n %% %d = 0, '', concat('s', toString(n %% %d)))", column, of, of)
		}
		want := []string{"toInt64(qty * 1000000) = n - 35000", "at = fromUnixTimestamp64Micro(n * 1000001, 'UTC')", empty("few", 5), empty("some", 1000),
			empty("many", 69_000), "word = concat('w', toString(n))", "length(list) = n % 3 % 2 + n % 2", "flag = (n % 2 = 1)",
			"id = '01020304-0506-0708-090a-0b0c0d0e0f10'", "i32 = -n", "u32 = n", "u64 = bitShiftLeft(toUInt64(n), 40)"}
		for _, condition := range want {
			if got := ask("SELECT count(), countIf(" + condition + ") FROM {t}"); got != fmt.Sprintf("[[%d %d]]", rows, rows) {
				t.Errorf("round %d: %s: %s", round, condition, got)
			}
		}
		if got, want := ask("SELECT movement FROM {t} WHERE n IN (0, 17, 18, 35) ORDER BY n"), "[[OTHER] [REVERSAL] [OTHER] [REVERSAL]]"; got != want {
			t.Errorf("movement: %s, want %s", got, want)
		}
		for _, c := range columns {
			c.reset()
			if c.len() != 0 {
				t.Errorf("%s has %d values after reset", c.name, c.len())
			}
		}
	}
	for i, v := range []event.Quantity{event.MaxQuantity, -event.MaxQuantity, 0} {
		n.add(int64(i))
		qty.add(v)
	}
	for _, v := range []event.Micros{earliest, latest, -1} {
		at.add(v)
	}
	ask := inserted(t, f, s, "ends", []namedColumn{{"n", &n}, {"qty", &qty}, {"at", &at}})
	if got, want := ask("SELECT qty, at FROM {t} ORDER BY n"), "[[999999999999.999999 1900-01-01 00:00:00.000000] [-999999999999.999999 2299-12-31 23:59:59.999999] [0 1969-12-31 23:59:59.999999]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A column of another type than the program's takes nothing: its bytes would be read as other values.
func TestColumnOfAnotherTypeIsRefused(t *testing.T) {
	f := newFixture(t)
	s := f.sink()
	db := f.config.ClickHouse.Database
	for _, statement := range []string{"CREATE DATABASE " + db, "CREATE TABLE " + db + ".t (n Int64, qty Decimal(18, 3)) ENGINE = MergeTree ORDER BY n"} {
		if err := f.db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var n scalars[int64]
	var qty quantities
	n.add(1)
	qty.add(1)
	columns := []namedColumn{{"n", &n}, {"qty", &qty}}
	err := s.insert(t.Context(), "x", insertStatement(db, "t", columns), columns, newHandover())
	if err == nil || retryable(err) || !strings.Contains(err.Error(), "Decimal(18, 3)") {
		t.Fatalf("got %v", err)
	}
	f.awaitCount(0, "SELECT count() FROM {db}.t")
	if err := s.db.Ping(t.Context()); err != nil {
		t.Fatalf("after the refusal: %v", err)
	}
}

func BenchmarkSymbols(b *testing.B) {
	sites := make([]string, 220)
	for i := range sites {
		sites[i] = fmt.Sprintf("SITE-%03d", i)
	}
	r := rand.New(rand.NewPCG(1, 2))
	order := make([]int, 1<<14)
	for i := range order {
		order[i] = r.IntN(len(sites))
	}
	var c symbols
	b.ResetTimer()
	for i := range b.N {
		if i%100_000 == 0 {
			c.reset()
		}
		c.add(sites[order[i%len(order)]])
	}
}
