//! The loop: feeds commands to the machine and pays its debts through the ports
