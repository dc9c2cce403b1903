// Command gen writes the Go structs and codecs of package event from the schemas of package schemas:
//
//	go run ./avro/gen          writes avro/event/*_gen.go and removes those whose schema is gone
//	go run ./avro/gen -check   writes nothing, and fails where a file is not what it would write
//	go run ./avro/gen -release keeps the current schemas in avro/schemas/released, which later ones must be able to read
//
// It runs in the root of the module. The primitives that the generated code calls are in avro/event/read.go and write.go.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"crossdock/avro/govern"
)

func main() {
	check := flag.Bool("check", false, "compare, write nothing")
	release := flag.Bool("release", false, "release the current schemas instead of generating")
	flag.Parse()
	var err error
	if *release {
		err = runRelease()
	} else {
		err = run(filepath.Join("avro", "event"), *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func runRelease() error {
	written, err := govern.Release(filepath.Join("avro", "schemas"))
	for _, path := range written {
		fmt.Println(path)
	}
	return err
}

func run(dir string, check bool) error {
	files, err := generate()
	if err != nil {
		return err
	}
	if check {
		return compare(dir, files)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.text, 0o644); err != nil {
			return err
		}
	}
	gone, err := leftovers(dir, files)
	if err != nil {
		return err
	}
	for _, path := range gone {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// compare reports every file of dir that is not what the schemas make.
func compare(dir string, files []file) error {
	const remedy = "run: make schemas"
	var problems []error
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		have, err := os.ReadFile(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			problems = append(problems, fmt.Errorf("%s is missing; %s", path, remedy))
		case err != nil:
			problems = append(problems, err)
		case !bytes.Equal(have, f.text):
			problems = append(problems, fmt.Errorf("%s is not what the schemas make; %s", path, remedy))
		}
	}
	gone, err := leftovers(dir, files)
	if err != nil {
		problems = append(problems, err)
	}
	for _, path := range gone {
		problems = append(problems, fmt.Errorf("%s has no schema; %s", path, remedy))
	}
	return errors.Join(problems...)
}

// leftovers are generated files of dir that are not among files.
func leftovers(dir string, files []file) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*_gen.go"))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(paths, func(path string) bool {
		return slices.ContainsFunc(files, func(f file) bool { return f.name == filepath.Base(path) })
	}), nil
}
