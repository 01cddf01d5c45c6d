package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/config"
)

// configCommand returns "darter config".
func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show and check the configuration"}
	c.AddCommand(configShow(), configCheck(), configSchema())
	return c
}

func configShow() *cobra.Command {
	var origin bool
	c := &cobra.Command{Use: "show", Short: "Print the settings in force as YAML, secrets masked", Args: noArguments}
	flags := config.Register(c.Flags(), config.Every)
	c.Flags().BoolVar(&origin, "origin", false, "say which layer set each key: default, file, environment or flag")
	c.RunE = func(*cobra.Command, []string) error {
		cfg, from, err := load(flags)
		if err != nil {
			return err
		}
		if !origin {
			from = nil
		}
		return cfg.Show(os.Stdout, from)
	}
	return c
}

func configCheck() *cobra.Command {
	return &cobra.Command{Use: "check FILE...", Short: "Check configuration files", Args: func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cli.Usage(errors.New("name a file to check"))
		}
		return nil
	}, RunE: func(_ *cobra.Command, args []string) error {
		for _, file := range args {
			// The environment is left out: a file is right or wrong by itself.
			if _, _, err := config.Load(config.Layers{File: file}); err != nil {
				return err
			}
			fmt.Printf("%s: ok\n", file)
		}
		return nil
	}}
}

func configSchema() *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "Print the JSON schema of configuration files", Args: noArguments, RunE: func(*cobra.Command, []string) error {
		data, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = fmt.Printf("%s\n", data)
		return err
	}}
}
