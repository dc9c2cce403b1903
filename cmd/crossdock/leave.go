package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/config"
	"crossdock/topology/runtime"
)

// leaveTimeout bounds crossdock leave: brokers that are well answer within milliseconds.
const leaveTimeout = 20 * time.Second

// A departure is what leave did for one stage.
type departure struct {
	Stage   string   `json:"stage"`
	Group   string   `json:"group"`
	Members []string `json:"members"` // removed, by group.instance.id
	Ended   []string `json:"ended"`   // transactional ids whose open transactions were aborted
}

func (a *app) leaveCommand() *cobra.Command {
	var stages []string
	cmd := &cobra.Command{
		Use:   "leave INSTANCE",
		Short: "Take an instance out of its groups, so that others have its partitions at once",
		Long: `Removes the workers of an instance from the groups of its stages, and ends the transactions that they left open. The
other instances have its partitions within a second. Without it they wait for runtime.session_timeout: a process that
stops keeps its place, since most come back.

It is for a scale-in: before the instance is stopped (a preStop hook), or after. A worker that is removed while it lives ends its
transaction and stays out for five seconds; unless the process stops by then, it joins again.`,
		Example: "  crossdock leave crossdock-2\n  crossdock leave crossdock-2 --stage inventory --stage sink --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			groups, err := leaveGroups(&c.Config, stages)
			if err != nil {
				return err
			}
			client, err := dial(cmd.Context(), &c.Config)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), leaveTimeout)
			defer cancel()
			left, err := leave(ctx, client, groups, args[0])
			if err != nil {
				return err
			}
			return a.print(left, func(w io.Writer) error {
				for _, d := range left {
					if _, err := fmt.Fprintf(w, "%s: %d members left, %d open transactions ended\n", d.Stage, len(d.Members), len(d.Ended)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVar(&stages, "stage", nil, "leave the group of this stage only, such as inventory or sink (repeatable; default all)")
	return cmd
}

// A leaveGroup is the group of a stage. Its members' ids begin with app/instance/.
type leaveGroup struct{ stage, group, app string }

func leaveGroups(c *config.Config, chosen []string) ([]leaveGroup, error) {
	stages, err := pipeline.Stages(pipeline.Parts{Config: *c})
	if err != nil {
		return nil, &usageError{err}
	}
	var all []leaveGroup
	var known []string
	for _, s := range stages {
		id := runtime.ApplicationID(pipeline.AppPrefix(c), s)
		all = append(all, leaveGroup{s.Name, id, id})
		known = append(known, s.Name)
	}
	all = append(all, leaveGroup{pipeline.Sink, pipeline.AppPrefix(c) + pipeline.Sink, c.App})
	known = append(known, pipeline.Sink)
	for _, name := range chosen {
		if !slices.Contains(known, name) {
			return nil, usagef("--stage %s: no stage has a group of this name; there are %s", name, strings.Join(known, ", "))
		}
	}
	if len(chosen) > 0 {
		all = slices.DeleteFunc(all, func(g leaveGroup) bool { return !slices.Contains(chosen, g.stage) })
	}
	return all, nil
}

// leave takes an instance out of the groups that it is in. One that is in none is the user's fault, and the answer names those
// that there are.
func leave(ctx context.Context, client *kgo.Client, groups []leaveGroup, instance string) ([]departure, error) {
	var left []departure
	var known []string
	for _, g := range groups {
		names, err := runtime.Instances(ctx, client, g.group, g.app)
		if err != nil {
			return nil, err
		}
		known = append(known, names...)
		if !slices.Contains(names, instance) {
			continue
		}
		d, err := runtime.Leave(ctx, client, g.group, runtime.MemberPrefix(g.app, instance))
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w; nothing is lost by trying again", g.stage, err)
		}
		left = append(left, departure{g.stage, g.group, append([]string{}, d.Members...), append([]string{}, d.Ended...)})
	}
	if len(left) > 0 {
		return left, nil
	}
	slices.Sort(known)
	known = slices.Compact(known)
	if len(known) == 0 {
		return nil, usagef("there is no instance %q, nor any other, in the groups of these stages: nobody runs, or app and kafka.brokers name another installation", instance)
	}
	return nil, usagef("there is no instance %q in the groups of these stages; there are %s", instance, strings.Join(known, ", "))
}
