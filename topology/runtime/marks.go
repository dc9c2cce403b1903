package runtime

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A mark is what the metadata of a task's committed offset says: the commit's number (I5), and what the task knew of its
// changelogs' partitions. Its form is
//
//	crossdock:2:N[:ID@START+LENGTH]...
//
// with N in decimal, and for each store in order the first eight bytes of the changelog's topic id in hexadecimal, the log's start
// and the number of offsets from there to the end. Versions before wrote crossdock:1:N.
//
// An owner that finds less than its group has committed would begin with state that lacks what was lost, as if it had never been:
// an emptied, shortened or recreated changelog looks like one of an application that has just begun. With the mark it is seen.
type mark struct {
	number uint64
	logs   []logMark
}

// A logMark is the least that a changelog's partition held at a commit.
type logMark struct {
	topic uint64 // first half of the topic id; 0: not known
	span
}

const markPrefix = "crossdock:"

// topicMark is the part of a topic id that a mark keeps.
func topicMark(id [16]byte) uint64 { return binary.BigEndian.Uint64(id[:]) }

// metadata encodes a mark.
func (m *mark) metadata() *string {
	b := strconv.AppendUint([]byte(markPrefix+"2:"), m.number, 10)
	for _, l := range m.logs {
		b = append(b, ':')
		b = strconv.AppendUint(b, l.topic, 16)
		b = append(b, '@')
		b = strconv.AppendInt(b, l.start, 10)
		b = append(b, '+')
		b = strconv.AppendInt(b, l.end-l.start, 10)
	}
	s := string(b)
	return &s
}

// readMark decodes one; zero where another program committed, as an operator does who resets offsets, or nobody has.
func readMark(metadata *string) mark {
	if metadata == nil {
		return mark{}
	}
	rest, ok := strings.CutPrefix(*metadata, markPrefix)
	if !ok {
		return mark{}
	}
	fields := strings.Split(rest, ":")
	if len(fields) < 2 || fields[0] != "1" && fields[0] != "2" {
		return mark{}
	}
	var m mark
	var err error
	if m.number, err = strconv.ParseUint(fields[1], 10, 64); err != nil {
		return mark{}
	}
	for _, f := range fields[2:] {
		topic, of, ok1 := strings.Cut(f, "@")
		start, length, ok2 := strings.Cut(of, "+")
		l := logMark{}
		var err1, err2, err3 error
		l.topic, err1 = strconv.ParseUint(topic, 16, 64)
		l.start, err2 = strconv.ParseInt(start, 10, 64)
		l.end, err3 = strconv.ParseInt(length, 10, 64)
		if !ok1 || !ok2 || err1 != nil || err2 != nil || err3 != nil || l.start < 0 || l.end < 0 {
			return mark{}
		}
		l.end += l.start
		m.logs = append(m.logs, l)
	}
	return m
}

// lost says what a changelog's partition lacks of what it had at the last commit, "" if nothing.
func (m *mark) lost(store int, id [16]byte, now span) string {
	if store >= len(m.logs) {
		return "" // a version before committed, or a store is new
	}
	then := m.logs[store]
	switch topic := topicMark(id); {
	case then.topic != 0 && topic != 0 && then.topic != topic:
		return fmt.Sprintf("it is another topic than at commit %d: id %016x then, %016x now", m.number, then.topic, topic)
	case now.end < then.end:
		return fmt.Sprintf("it ends at offset %d, and had reached %d at commit %d", now.end, then.end, m.number)
	case now.start > then.start:
		return fmt.Sprintf("it starts at offset %d, and started at %d at commit %d: its topic must be compacted, without retention", now.start, then.start, m.number)
	}
	return ""
}

// lostChangelogRemedy is what an operator can do about a changelog that has lost state.
func lostChangelogRemedy(group, topic string) string {
	return fmt.Sprintf("Put the changelog back as it was. If its state is lost for good, decide from where the application goes on without it, while it stands still: "+
		"kafka-consumer-groups.sh --group %s --topic %s --reset-offsets --execute with --to-earliest builds state again from what the input still holds, with --to-current goes on with what "+
		"the changelog has. Either tells the application that this is what there is.", group, topic)
}

// mark is what the next commit of a task says: its changelogs hold at least what they did when it was opened, and what it has written
// since, which is acknowledged before a commit. Its own, so that a commit that fails does no harm: the log has the records all the same.
func (r *run) mark() *string {
	m := mark{number: r.number + 1, logs: make([]logMark, len(r.ends))}
	if r.reached == nil {
		for _, e := range r.ends {
			r.reached = append(r.reached, e.end)
		}
	}
	for i := range r.ends {
		if rec := r.changes[i]; rec != nil {
			r.reached[i] = max(r.reached[i], rec.Offset+1)
		}
		m.logs[i] = logMark{topic: topicMark(r.ids[i]), span: span{r.ends[i].start, r.reached[i]}}
	}
	return m.metadata()
}
