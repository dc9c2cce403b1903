// Package syntax reads ASC X12 interchanges (X12.5 interchange control structures, X12.6 application control structure):
// bytes to segments, segments to whole transaction sets whose envelope has been checked. It knows no transaction set:
// what a 940 means is the business of the mapping.
//
// A Reader takes a stream of any size and keeps at most one set of it. It never stops at what is wrong: a Fault says
// what and where, and reading goes on with the next set, group or interchange.
//
// Invariants:
//
//   - A set is handed out only whole: its SE is there, and its count and control number are right.
//   - A fault in an envelope's trailer takes no set away that is whole by itself: what was left out can be sent again,
//     and what comes twice has the same identity.
//   - The same segments give the same sets whatever the separators, the terminator and the line wraps are.
//   - Memory is bounded by Limits, time is linear in the size of the document.
package syntax
