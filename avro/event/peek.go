package event

// PeekEventID returns the event id of an event that starts with its header (Kind.HasHeader), without decoding the rest.
// The text is in place: it is valid as long as payload is. ok is false where the bytes end before it does.
func PeekEventID(payload []byte) (id string, ok bool) {
	id, n := text(inPlace(payload), 0)
	return id, n >= 0
}
