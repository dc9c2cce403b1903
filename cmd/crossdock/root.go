package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"crossdock/internal/config"
)

// An app is what the commands share: the streams and the flags that every command takes.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configFile     string
	set            []string
	json           bool
}

func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "crossdock",
		Short: "Keeps ERP, warehouse, transport, carrier and storefront systems in step over Kafka",
		Long: `Crossdock keeps ERP, warehouse, transport, carrier and storefront systems in step, in real time, over Kafka.
Documents come in through connectors, become canonical Avro events on partitioned topics, pass through stateless and
stateful stages exactly once, and land in ClickHouse for analysts.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a service is not ready.`,
		Example:       "  crossdock demo\n  crossdock run inventory --set kafka.brokers=127.0.0.1:9092",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q; crossdock --help lists them", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetIn(stdin)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usagef("%v; see %s --help", err, c.CommandPath()) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration file (default crossdock.yaml where it exists; CROSSDOCK_CONFIG)")
	flags.StringArrayVar(&a.set, "set", nil, "set one key of the configuration, such as --set kafka.partitions=16 (repeatable)")
	flags.BoolVar(&a.json, "json", false, "print the result as JSON")
	root.AddCommand(a.commands()...)
	for _, c := range root.Commands() {
		usageErrors(c)
	}
	return root
}

// usageErrors makes wrong arguments of every command below c a usageError.
func usageErrors(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usagef("%v; see %s --help", err, c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageErrors(sub)
	}
}

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	g.AddCommand(subs...)
	var examples []string
	for _, sub := range subs {
		examples = append(examples, sub.Example)
	}
	g.Example = strings.Join(examples, "\n")
	return g
}

// config loads the configuration, or says everything that is wrong with it.
func (a *app) config() (*config.Loaded, error) {
	flags := map[string][]string{}
	for _, s := range a.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usagef("--set %s: write KEY=VALUE", s)
		}
		flags[name] = append(flags[name], value)
	}
	file := a.configFile
	if file == "" {
		file = os.Getenv(config.EnvPrefix + "CONFIG")
	}
	if file == "" {
		if _, err := os.Stat("crossdock.yaml"); err == nil {
			file = "crossdock.yaml"
		}
	}
	c, err := config.Load(config.Input{File: file, Env: os.Environ, Flags: flags})
	if err != nil {
		return nil, &usageError{fmt.Errorf("configuration:\n%w", err)}
	}
	return c, nil
}

// print writes v as JSON where --json asks for it, else calls text.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.stdout)
	}
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
